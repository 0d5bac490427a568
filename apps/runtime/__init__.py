"""What runs in the application's container beside the application. Images import this package as `app_runtime`.

Its modules import each other relatively, because a package of the user's may be named `apps`.
"""
