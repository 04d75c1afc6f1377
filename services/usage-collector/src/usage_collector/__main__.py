"""``python -m usage_collector serve``."""

from __future__ import annotations

from tallyport.process import service_main

from usage_collector.app import run
from usage_collector.runs.service import SERVICE
from usage_collector.settings import CollectorSettings

if __name__ == "__main__":
    service_main(SERVICE, settings=CollectorSettings, run=run)
