"""A page as a browser without scripts sees it, by Python's own parser."""

import base64
import gzip
import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements with their attributes, and the text of the page without scripts and style."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.raw, self._inside = [], [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(len(self.elements))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data):
        if self._inside:
            self.raw[self._inside[-1]] = self.raw.get(self._inside[-1], "") + data
        else:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def script(self, identity):
        place = next(n for n, (_, a) in enumerate(self.elements, 1) if a.get("id") == identity)
        return self.raw[place]

    def unpacked(self, identity):
        return json.loads(gzip.decompress(base64.b64decode(self.script(identity))))
