"""Policy tests and what came of them, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.policy.conversation import Conversation, Expectation, Reply, Stage, Verdict


def faults(expect: Expectation, verdict: Verdict) -> tuple[str, ...]:
    """What is not as expected, in words; nothing where the test passed."""
    if verdict.fault:
        return (verdict.fault,)  # and so nothing else can be
    return tuple(_fault(word, expect, verdict) for word in verdict.failed)


def _fault(failed: str, expect: Expectation, verdict: Verdict) -> str:
    kind, _, word = failed.partition(" ")
    told = {
        "text": f'the reply does not say "{expect.text}"',
        "offers": f"{word} is not offered",
        "lacks": f"{word} is offered",
        "asks": f"{word} is not asked",
    }
    code = verdict.last.code if verdict.last else "missing"
    return told.get(kind, f"the reply is {code}, not {codes_in_words(expect.replies)}")


def codes_in_words(replies: Sequence[str]) -> str:
    """`554`, `5xx (refused)`, `accepted`."""
    told = {"5xx": "5xx (refused)", "4xx": "4xx (try again)"}
    words = [told.get(each, each) for each in replies if each[0] not in "23"]
    if any(each[0] in "23" for each in replies):
        words = ["accepted" if "xx" in replies[0] else replies[0], *words]
    return " or ".join(words)


def expected(expect: Expectation) -> str:
    """What is expected, in one line."""
    parts = [codes_in_words(expect.replies)] if expect.replies else []
    if expect.text:
        parts.append(f'a reply that says "{expect.text}"' if not parts else f'"{expect.text}"')
    parts += [f"{each} offered" for each in expect.offers]
    parts += [f"{each} not offered" for each in expect.lacks]
    parts += [f"{each} asked" for each in expect.asks]
    return ", ".join(parts)


def got(verdict: Verdict) -> str:
    """What came, in one line."""
    if verdict.fault:
        return verdict.fault
    last = verdict.last
    if last is None:
        return "nothing"
    return f"{last.code} {last.text}  ({said(last)})"


def outcome_of(verdict: Verdict) -> str:
    """`accepted`, `refused`, `put off`, `no answer`."""
    if verdict.fault or verdict.last is None:
        return "no answer"
    return {"4": "put off", "5": "refused"}.get(verdict.last.code[0], "accepted")


def said(reply: Reply) -> str:
    """What a reply answered, in words."""
    words = {
        Stage.CONNECT: "on connecting",
        Stage.MESSAGE: "to the message",
        Stage.DATA: "to DATA",
    }
    return words.get(reply.stage) or f"to {reply.said}"


def spoken(talk: Conversation) -> str:
    """Who says what to whom, in one line."""
    client = talk.client
    name = "(resolved)" if client.name is None else client.name or "unknown"
    parts = [f"{name}[{client.address}] on {talk.service}"]
    if client.reverse_name is not None and client.reverse_name != client.name:
        parts.append(f"PTR {client.reverse_name or 'none'}")
    parts += ["TLS"] if client.tls else []
    parts += [f"login {client.login}"] if client.login else []
    parts.append("no HELO" if talk.helo is None else f"HELO {talk.helo}")
    parts += talk.commands
    if not talk.commands and talk.until not in (Stage.CONNECT, Stage.HELO, Stage.STARTTLS):
        to = ", ".join(f"<{each}>" for each in talk.recipients)
        parts.append(
            f"from <{talk.sender}>" + (f" to {to}" if talk.until is not Stage.MAIL else "")
        )
    parts += ["with a message"] if talk.until is Stage.MESSAGE else []
    return ", ".join(parts)
