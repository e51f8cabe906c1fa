"""What the OpenAI test server answers: canned, cheap, sensible, and valid against whatever schema it is sent."""

from __future__ import annotations

import re
from typing import Any

ORDER = re.compile(r"\b[A-Z]{2,4}-\d{3,8}\b|#\d{4,10}\b")
TOLD = re.compile(r"write (?P<once>once)?\s*(?P<unsourced>without sources)?\s*exactly this: (?P<words>.+)")
ASKS = re.compile(r"ask (?P<once>once )?exactly this: (?P<words>.+)")
WORDS = {
    "billing": ("invoice", "charge", "refund", "payment", "price", "bill"),
    "technical": ("error", "crash", "broken", "not work", "offline", "bug", "sync", "firmware"),
    "account": ("password", "log in", "login", "account", "e-mail address", "two-step"),
}


def task_of(schema: dict[str, Any]) -> str:
    """The task, recognised by a property that only its answer has."""
    properties = schema.get("properties", {})
    for task, telling in (
        ("classify", "category"),
        ("extract", "order_id"),
        ("draft", "citations"),
        ("review", "verdict"),
    ):
        if telling in properties:
            return task
    return "other"


def answer_for(task: str, material: dict[str, Any], schema: dict[str, Any]) -> Any:
    wanted = {"classify": _classify, "extract": _extract, "draft": _draft, "review": _review}.get(task)
    return fill(schema, wanted(material) if wanted else None, schema)


def fill(schema: dict[str, Any], hint: Any, root: dict[str, Any]) -> Any:
    """``hint`` where it fits the schema, else the plainest value that does."""
    if ref := schema.get("$ref"):
        target: Any = root
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
        return fill(target, hint, root)
    if options := schema.get("anyOf"):
        kinds = [option.get("type") for option in options]
        if hint is None and "null" in kinds:
            return None
        return fill(next(o for o in options if o.get("type") != "null"), hint, root)
    if "enum" in schema:
        return hint if hint in schema["enum"] else schema["enum"][0]
    match schema.get("type"):
        case "object":
            hints = hint if isinstance(hint, dict) else {}
            return {name: fill(part, hints.get(name), root) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [fill(schema["items"], each, root) for each in hint or ()]
        case "string":
            return hint if isinstance(hint, str) else "none"
        case "number" | "integer":
            low, high = schema.get("minimum", 0), schema.get("maximum", 1)
            return hint if isinstance(hint, (int, float)) and low <= hint <= high else low
        case "boolean":
            return bool(hint)
    return None


def _text(material: dict[str, Any]) -> str:
    """What the customer wrote, oldest first."""
    ticket = material.get("ticket") or {}
    said = [each["text"] for each in ticket.get("conversation") or () if each["from"] == "customer"]
    return "\n".join([str(ticket.get("subject", "")), str(ticket.get("body", "")), *said])


def _classify(material: dict[str, Any]) -> dict[str, Any]:
    text = _text(material).lower()
    scores = {category: sum(text.count(word) for word in words) for category, words in WORDS.items()}
    best = max(scores, key=lambda category: scores[category])
    category = best if scores[best] else "general"
    urgent = "urgent" in text or "outage" in text
    priority = (material.get("given") or {}).get("priority") or ("urgent" if urgent else "medium")
    reason = f"The ticket speaks of {category} matters."
    answer = {"category": category, "priority": priority, "confidence": 0.9, "language": "en", "reason": reason}
    return {**answer, "facts": _extract({**material, "classification": answer})}


def _extract(material: dict[str, Any]) -> dict[str, Any]:
    orders = ORDER.findall(_text(material))
    urgency = (material.get("classification") or {}).get("priority")
    return {"order_id": orders[-1] if orders else None, "product": None, "issue_type": "question", "urgency": urgency}


def _draft(material: dict[str, Any]) -> dict[str, Any]:
    articles = material.get("articles") or []
    # A gullible model asks what the ticket tells it to ask, and asks on and on unless it is told to ask once.
    asked = ASKS.search(_text(material))
    if asked and not (asked["once"] and material["ticket"].get("conversation")):
        return {"text": f"Hello,\n\n{asked['words']}\n\nKind regards", "citations": [], "asks_customer": True}
    if not articles:
        text = "Hello,\n\nThank you for writing. A colleague will look into this and come back to you.\n\nKind regards"
        return {"text": text, "citations": []}
    first = articles[0]
    passages = first.get("passages") or [{"text": f"Please see our article {first.get('title', '')}."}]
    text = f"Hello,\n\nThank you for writing.\n\n{passages[0].get('text', '')}\n\nKind regards"
    # A gullible model: it writes what the ticket tells it to write, and learns from a review only where it is told so.
    if (told := TOLD.search(_text(material))) and not (told["once"] and material.get("revision")):
        text = f"Hello,\n\n{told['words']}\n\nKind regards"
        if told["unsourced"]:
            return {"text": text, "citations": []}
    return {"text": text, "citations": [first["id"]]}


def _review(material: dict[str, Any]) -> dict[str, Any]:
    cited = (material.get("draft") or {}).get("citations") or []
    known = {article.get("id") for article in material.get("articles") or ()}
    told = TOLD.search(_text(material))
    asks = (material.get("draft") or {}).get("asks_customer")
    if not cited and not asks and not (told and told["unsourced"]):
        verdict, accuracy, problems = "escalate", 0.3, ["no article answers this"]
    elif not set(cited) <= known:
        verdict, accuracy, problems = "revise", 0.4, [f"unknown citation {c}" for c in cited if c not in known]
    else:
        verdict, accuracy, problems = "approve", 0.1 if "rate it low" in _text(material) else 0.92, []
    return {"verdict": verdict, "scores": {"accuracy": accuracy, "tone": 0.95, "policy": 0.95}, "problems": problems}
