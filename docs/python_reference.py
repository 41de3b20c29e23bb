"""Write the reference of the Python interface from its docstrings; `docs/generate.py` writes it."""

import functools
import inspect
import re
from collections.abc import Iterator

import armillary
from armillary.integrations import optuna

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
ITEM = re.compile(r"([\w.`]+): (.*)")
ACCESSORS = (property, functools.cached_property)


def page() -> str:
    """Return the page."""
    parts = [
        "# Python",
        "What `import armillary` offers. Names are loaded when they are first used.",
        *(_entry(f"armillary.{name}", getattr(armillary, name)) for name in armillary.__all__),
        "## armillary.integrations.optuna",
        inspect.getdoc(optuna) or "",
        *(_entry(f"armillary.integrations.optuna.{name}", getattr(optuna, name)) for name in optuna.__all__),
    ]
    return "\n\n".join(parts)


def _entry(name: str, thing: object) -> str:
    parts = [f"## {name}", f"```text\n{name.rpartition('.')[2]}{_signature(thing)}\n```", described(thing)]
    if inspect.isclass(thing):
        parts += _members(thing)
    return "\n\n".join(part for part in parts if part)


def _members(owner: type) -> Iterator[str]:
    """Yield an entry per public method and property that a class has itself."""
    for name, member in vars(owner).items():
        if name.startswith("_") or not inspect.getdoc(member):
            continue
        plain = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if isinstance(member, ACCESSORS):
            yield f"### {owner.__name__}.{name}"
        elif inspect.isfunction(plain):
            yield f"### {owner.__name__}.{name}{_signature(plain, of_instance=plain is member)}"
        else:
            continue
        yield described(plain)


def _signature(thing: object, *, of_instance: bool = False) -> str:
    """Return the arguments with their defaults; their kinds stand in the text."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    text = str(signature.replace(parameters=plain[of_instance:], return_annotation=inspect.Signature.empty))
    return re.sub(r"<function (\w+) at \w+>", r"\1", text.replace("<factory>", "..."))


def described(thing: object) -> str:
    """Return a docstring as Markdown: its text, and its sections as lists."""
    sections = _sections(thing)
    parts = ["\n".join(sections.pop(""))]
    parts += [_section(name, lines) for name, lines in sections.items()]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _sections(thing: object) -> dict[str, list[str]]:
    """Return the lines of a docstring by section; those before the first are under an empty name."""
    found: dict[str, list[str]] = {"": []}
    lines = found[""]
    for line in (inspect.getdoc(thing) or "").splitlines():
        if line.endswith(":") and line[:-1] in SECTIONS:
            lines = found.setdefault(line[:-1], [])
        else:
            lines.append(line)
    bases = [b for b in getattr(thing, "__bases__", ()) if b.__module__.startswith("armillary.") and b.__doc__]
    inherited = [line for base in bases for line in _sections(base).get("Attributes", [])]
    if inherited:
        found["Attributes"] = [*inherited, *found.get("Attributes", [])]
    return found


def _section(name: str, lines: list[str]) -> str:
    items: list[str] = []
    for line in lines:
        told = ITEM.fullmatch(line.strip())
        if told and line.startswith("    ") and not line.startswith("     "):
            items.append(f"- `{told[1].strip('`')}`: {told[2]}")
        elif items and line.strip():
            items[-1] += f" {line.strip()}"
        elif line.strip():
            items.append(f"- {line.strip()}")
    return f"**{name}**\n\n" + "\n".join(items) if items else ""
