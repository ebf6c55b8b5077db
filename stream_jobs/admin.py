from stream_jobs.rules.errors import InvalidRule as InvalidRule, NoSuchRule as NoSuchRule
from stream_jobs.notify.vault import VaultClosed as VaultClosed
from stream_jobs.notify.errors import NoSuchChannel as NoSuchChannel
