"""Names of a phone's keys."""

from enum import IntEnum


class KeyCode(IntEnum):
    """Android's codes of the keys a phone has outside its screen."""

    HOME = 3
    BACK = 4
    VOLUME_UP = 24
    VOLUME_DOWN = 25
    POWER = 26
    MENU = 82


__all__ = ["KeyCode"]
