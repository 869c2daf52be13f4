"""The settings of one process. Only `main` and `cli` read them; everything else gets them passed."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting can be given as an environment variable `URBANOS_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="URBANOS_", extra="ignore")

    database_url: str | None = None
    """Any PostgreSQL ≥ 16, `postgresql://…`. Unset: the embedded server under `home`."""
    home: Path = Path(".urbanos")
    """Where the embedded database, the secret key and the demo's keys are kept."""
    secret_key_file: Path | None = None
    """32 random bytes that seal the private signing keys at rest. Unset: `home`/secret.key."""
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    """The address that the outside sees: the issuer of tokens. Unset: http://host:port."""
    zone: Literal["internet", "lgwan", "mynumber"] = "internet"
    """The zone of this process's one listener. A request cannot choose it."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    database_connections: int = Field(default=10, ge=2, le=200)
    max_upload_bytes: int = Field(default=4 * 1024**3, ge=1)
    answer_cache_bytes: int = Field(default=32 * 1024**2, ge=0)

    @property
    def issuer(self) -> str:
        """The issuer identifier and base of every link (RFC 8414), without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
