"""The Dockerfile's steps, and the words of its commands, read as the container tools and the program read them."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from streams.cli import main

ROOT = Path(__file__).parents[2]


@dataclass
class Step:
    """One instruction of a Dockerfile: its word, the rest of it, and the stage that it is in."""

    word: str
    text: str
    stage: int

    @property
    def words(self):
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


@dataclass
class Dockerfile:
    steps: list[Step]

    def of(self, word, stage=None):
        return [step for step in self.steps if step.word == word and stage in (None, step.stage)]

    def last(self, word):
        return self.of(word, self.steps[-1].stage)[-1]

    @property
    def environment(self):
        """ENV of the stage that becomes the image."""
        pairs = [pair for step in self.of("ENV", self.steps[-1].stage) for pair in step.words]
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def health_check(self):
        """The command of HEALTHCHECK."""
        return json.loads(self.last("HEALTHCHECK").text.partition(" CMD ")[2])


def parsed(words):
    """What the real command line makes of words: the command, and its parameters. An unknown option or value raises."""
    command, context, path = main, click.Context(main), []
    rest = list(words)
    while isinstance(command, click.Group):
        if command.invoke_without_command and (not rest or rest[0].startswith("-")):
            break  # a command as well as a group: `sandbox`
        assert rest, f"{words}: a command is missing"
        found = command.get_command(context, rest[0])
        assert found is not None, f"{words}: there is no {rest[0]}"
        path.append(rest.pop(0))
        command = found
    return " ".join(path), command.make_context("it", rest).params
