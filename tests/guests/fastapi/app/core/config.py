from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    API_V1_STR: str = "/api/v1"
    PROJECT_NAME: str
    SECRET_KEY: str
    DATABASE_URL: str
    UPLOADS: Path = Path("/data/uploads")

    @property
    def database(self) -> URL:
        return make_url(self.DATABASE_URL).set(drivername="postgresql+asyncpg")


settings = Settings()
