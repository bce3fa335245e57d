"""What a share out of n prompts can tell: its 95 % interval, and the smallest difference between two systems it would show."""

import math

Z = 1.959963984540054  # of 95 %, two-sided
POWER = 0.8416212335729143  # of a chance of 80 % to see a difference
DISCORDANT = 0.25  # share of the prompts that one of two systems gets right and the other wrong


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share in [0, 1] out of `n` (E. B. Wilson 1927), which stays in [0, 1] and is not empty at
    0 and 1. ValueError for n < 1 or a share outside."""
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"share={share}, n={n}: give a share from 0 to 1 out of at least 1")
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def apart(n: int) -> float | None:
    """The smallest difference of two shares around 0.5, each out of its own `n`, that a test at 5 % finds with a chance
    of 80 %; None where not even 0 against 1 would do."""
    for permille in range(1, 1001):
        difference = permille / 1000
        low, high = 0.5 - difference / 2, 0.5 + difference / 2
        under_none = math.sqrt(2 * 0.25 / n)
        under_it = math.sqrt((low * (1 - low) + high * (1 - high)) / n)
        if difference >= Z * under_none + POWER * under_it:
            return difference
    return None


def paired(n: int, discordant: float = DISCORDANT) -> float | None:
    """As `apart`, when both systems are judged on the same `n` prompts and disagree on the share `discordant` of them
    (McNemar 1947); None where the difference would have to be larger than that share."""
    for permille in range(1, int(1000 * discordant) + 1):
        difference = permille / 1000
        under_it = math.sqrt(max(discordant - difference**2, 0.0) / n)
        if difference >= Z * math.sqrt(discordant / n) + POWER * under_it:
            return difference
    return None
