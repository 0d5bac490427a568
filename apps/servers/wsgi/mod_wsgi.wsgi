# mod_wsgi reads a file, where other servers import a module.
from app_runtime.wsgi import app
