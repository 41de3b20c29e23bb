"""The options of one level and dimension, listed in machine code: there are up to a million."""

from __future__ import annotations

from pathlib import Path

from armillary.compiled import compilers

_compiled, _ = compilers(Path(__file__))


@_compiled
def _leads(inside, outside, perfect):
    """Return whether some factor makes so many rounds of the others."""
    factor = (inside + outside - 1) // outside
    if perfect and inside % outside:
        return False
    return (inside + factor - 1) // factor == outside


@_compiled
def count_or_list(values, bound, turns, fixed, reach, most_x, most_y, perfect, innermost, columns, ends, put):
    """List the options, or only count them."""
    count = 0
    number = len(values)
    for i in range(number):
        ends[i] = count
        outside = values[i]
        if (bound + outside - 1) // outside > reach:
            continue
        for a in range(i if fixed <= 1 or not turns else 0, number):
            between = values[a]
            if not turns or fixed == 1:
                if a > i:
                    break
            elif fixed:
                if fixed > between or (between + fixed - 1) // fixed != outside or (perfect and between % fixed):
                    continue
            elif not _leads(between, outside, perfect):
                continue
            for z in range(a, number):
                middle = values[z]
                least_y = (middle + between - 1) // between
                if least_y > most_y:
                    break
                for along_y in range(least_y, min(most_y, middle) + 1):
                    if (middle + along_y - 1) // along_y != between:
                        break
                    if perfect and middle != along_y * between:
                        continue
                    for x in range(z, number):
                        inside = values[x]
                        least_x = (inside + middle - 1) // middle
                        if least_x > most_x:
                            break
                        if innermost and inside != bound:
                            continue
                        for along_x in range(least_x, min(most_x, inside) + 1):
                            if (inside + along_x - 1) // along_x != middle:
                                break
                            if perfect and inside != along_x * middle:
                                continue
                            if put:
                                columns[0, count] = between
                                columns[1, count] = middle
                                columns[2, count] = x
                                columns[3, count] = along_x
                                columns[4, count] = along_y
                            count += 1
    ends[number] = count
    return count
