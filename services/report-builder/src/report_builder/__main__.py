"""``python -m report_builder serve | migrate``."""

from __future__ import annotations

from tallyport.process import service_main

from report_builder.app import SERVICE, migrations, run
from report_builder.settings import ReportBuilderSettings

if __name__ == "__main__":
    service_main(SERVICE, settings=ReportBuilderSettings, run=run, migrations=migrations)
