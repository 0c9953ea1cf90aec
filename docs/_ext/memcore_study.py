"""Renders the keys of a study file's sections from their classes: `memcore-keys General`."""

import inspect
import re
from typing import Any

from memcore import study


def render(section: str) -> str:
    """The keys of one section as a MyST table."""
    cls = getattr(study, section)
    rows = ["| Key | Default | Meaning |", "|---|---|---|"]
    meanings = _meanings(cls)
    for key, field in cls.model_fields.items():
        cells = (f"`{key}`", _default(field), meanings[key])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None or value == "" or not str(value).strip("(){}") else f"`{value}`"


def _meanings(cls: type) -> dict[str, str]:
    """What the docstring's list of attributes says about each."""
    listed = (inspect.getdoc(cls) or "").split("Attributes:\n", 1)[1]
    entries = re.split(r"^    (\w+): ", listed, flags=re.MULTILINE)[1:]
    return {
        key: " ".join(text.split()) for key, text in zip(entries[::2], entries[1::2], strict=True)
    }


def setup(app: Any) -> dict[str, Any]:
    """Add the directive."""
    from sphinx.util.docutils import SphinxDirective

    class KeysDirective(SphinxDirective):
        """`memcore-keys` with the class of `memcore.study` as its argument."""

        required_arguments = 1

        def run(self) -> list[Any]:
            self.env.note_reread()  # its content is not in the page
            return self.parse_text_to_nodes(render(self.arguments[0]))

    app.add_directive("memcore-keys", KeysDirective)
    return {"version": "1", "parallel_read_safe": True}
