"""Opens a page in a real browser engine without a screen, runs a script in it and prints what it found.

    python browser.py PAGE SCRIPT [PICTURE]

SCRIPT is an async function's body. Prints JSON: `found`, what it returned, and `requested`, every address but the
page's own and data within it. PICTURE: a PNG of the window at the end.
"""

import json
import os
import sys
from pathlib import Path

# No screen, no graphics card, and root may open pages too: it is our own.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QTWEBENGINE_CHROMIUM_FLAGS", "--no-sandbox --disable-gpu")

from PyQt6.QtCore import QTimer, QUrl
from PyQt6.QtWebEngineCore import QWebEngineSettings, QWebEngineUrlRequestInterceptor
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

SECONDS = 60


class Requests(QWebEngineUrlRequestInterceptor):
    """Notes what a page asks for."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def interceptRequest(self, info):
        if info.requestUrl().scheme() not in ("file", "data", "blob"):
            self.addresses.append(info.requestUrl().toString())


def main(page: str, script: str, picture: str | None = None) -> None:
    app, requests, view = QApplication(sys.argv[:1]), Requests(), QWebEngineView()
    view.page().setUrlRequestInterceptor(requests)
    # Otherwise a local page's requests are refused before anybody hears of them.
    view.settings().setAttribute(QWebEngineSettings.WebAttribute.LocalContentCanAccessRemoteUrls, True)
    view.resize(1400, 900)
    view.show()

    def poll(found: str | None = None) -> None:
        if not found:
            QTimer.singleShot(100, lambda: view.page().runJavaScript("window.found", poll))
            return
        print(json.dumps({"found": json.loads(found), "requested": requests.addresses}))
        if picture:
            view.grab().save(picture)
        app.quit()

    def start(_) -> None:
        body = f"(async () => {{ {script} }})().catch(error => 'failed: ' + error)"
        view.page().runJavaScript(
            f"{body}.then(found => {{ window.found = JSON.stringify(found) }}); 0", lambda _: poll()
        )

    view.loadFinished.connect(start)
    view.load(QUrl.fromLocalFile(str(Path(page).resolve())))
    QTimer.singleShot(1000 * SECONDS, lambda: app.exit(1))
    sys.exit(app.exec())


if __name__ == "__main__":
    main(*sys.argv[1:])
