"""``python -m notifier serve | migrate``."""

from __future__ import annotations

from tallyport.process import service_main

from notifier.app import SERVICE, migrations, run
from notifier.settings import NotifierSettings

if __name__ == "__main__":
    service_main(SERVICE, settings=NotifierSettings, run=run, migrations=migrations)
