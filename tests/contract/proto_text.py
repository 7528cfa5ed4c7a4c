"""Reads the subset of proto3 that the contract uses, so that a test can compare text with generated code.

Rule: independent of protoc and of the generated modules; what it does not understand it refuses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(r'"[^"]*"|map<|[A-Za-z_][\w.]*|\d+|[{}();=<>,]')
COMMENT = re.compile(r"//[^\n]*")


@dataclass(slots=True)
class Declarations:
    """What a .proto file declares, by full name without the package.

    Attributes:
        fields: "Message.field" -> (number, label, type); label "" | repeated | oneof NAME | map.
        values: "Enum.VALUE" -> number.
        methods: name -> (request, response), streams written as "stream X".
    """

    package: str = ""
    fields: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    values: dict[str, int] = field(default_factory=dict)
    methods: dict[str, tuple[str, str]] = field(default_factory=dict)


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = TOKEN.findall(COMMENT.sub("", text))
        self.at = 0
        self.found = Declarations()

    def next(self, expected: str | None = None) -> str:
        token = self.tokens[self.at]
        self.at += 1
        if expected is not None and token != expected:
            raise ValueError(f"expected {expected!r}, found {token!r}")
        return str(token)

    def file(self) -> Declarations:
        while self.at < len(self.tokens):
            match self.next():
                case "syntax":
                    self.next("=")
                    self.next('"proto3"')
                    self.next(";")
                case "package":
                    self.found.package = self.next()
                    self.next(";")
                case "import":
                    self.next()
                    self.next(";")
                case "service":
                    self.service()
                case "enum":
                    self.enum("")
                case "message":
                    self.message("")
                case token:
                    raise ValueError(f"unknown declaration {token!r}")
        return self.found

    def service(self) -> None:
        self.next()
        self.next("{")
        while (token := self.next()) != "}":
            if token != "rpc":
                raise ValueError(f"unknown member of a service {token!r}")
            name, request = self.next(), self.message_type()
            self.next("returns")
            self.found.methods[name] = (request, self.message_type())
            self.next(";")

    def message_type(self) -> str:
        self.next("(")
        name = self.next()
        if name == "stream":
            name = f"stream {self.next()}"
        self.next(")")
        return name

    def enum(self, prefix: str) -> None:
        name = prefix + self.next()
        self.next("{")
        while (value := self.next()) != "}":
            self.next("=")
            self.found.values[f"{name}.{value}"] = int(self.next())
            self.next(";")

    def message(self, prefix: str) -> None:
        name = prefix + self.next()
        self.next("{")
        self.members(name, "")

    def members(self, message: str, label: str) -> None:
        while (token := self.next()) != "}":
            match token:
                case "enum":
                    self.enum(f"{message}.")
                case "message":
                    self.message(f"{message}.")
                case "oneof":
                    oneof = self.next()
                    self.next("{")
                    self.members(message, f"oneof {oneof}")
                case "repeated":
                    self.member(message, "repeated", self.next())
                case "map<":
                    key = self.next()
                    self.next(",")
                    value = self.next()
                    self.next(">")
                    self.member(message, "map", f"{key},{value}")
                case kind:
                    self.member(message, label, kind)

    def member(self, message: str, label: str, kind: str) -> None:
        name = self.next()
        self.next("=")
        self.found.fields[f"{message}.{name}"] = (int(self.next()), label, kind)
        self.next(";")


def read(text: str) -> Declarations:
    """Read a .proto file's text.

    Raises:
        ValueError: it uses more of the language than the contract does.
    """
    return _Reader(text).file()
