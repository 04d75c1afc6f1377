"""``python -m billing_engine serve | migrate``."""

from __future__ import annotations

from tallyport.process import service_main

from billing_engine.app import SERVICE, migrations, run
from billing_engine.settings import EngineSettings

if __name__ == "__main__":
    service_main(SERVICE, settings=EngineSettings, run=run, migrations=migrations)
