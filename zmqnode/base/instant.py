"""Moments as texts: RFC 3339 in UTC with milliseconds, by integers alone."""

from __future__ import annotations

from typing import Final

DAY_MS: Final = 86_400_000


def rfc3339(unix_ms: int) -> str:
    """``2026-11-23T12:04:31.120Z`` for 1795435471120; for the years 1970 to 9999.

    Source:
        Howard Hinnant, chrono-compatible low-level date algorithms, civil_from_days.
    """
    days, rest_ms = divmod(unix_ms, DAY_MS)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153  # 0 is March.
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    seconds, ms = divmod(rest_ms, 1_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"


def at(name: str, unix_ms: int | None) -> dict[str, object]:
    """The two keys of one moment: ``name_at`` as text and ``name_at_ms``; null if unknown."""
    text = None if unix_ms is None else rfc3339(unix_ms)
    return {f"{name}_at": text, f"{name}_at_ms": unix_ms}
