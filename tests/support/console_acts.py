"""What a reader does on a page to bring it into a state that no address alone leads to."""

from __future__ import annotations

from playwright.sync_api import FilePayload, Page


def send_a_wrong_form(page: Page) -> None:
    """Ask for a bundle of something that can be no incident."""
    page.get_by_label("Incident id").fill("../etc")
    page.get_by_role("button", name="Create bundle").click()
    page.get_by_role("alert").wait_for()


def check_the_sources(page: Page) -> None:
    """Ask every source what it has."""
    page.get_by_label("Incident id").fill("incident-7")
    page.get_by_label("Europe").check()
    page.get_by_role("button", name="Check the sources").click()
    page.get_by_role("heading", name="What the sources have").wait_for()


def sign_in_wrongly(page: Page) -> None:
    """Name a user and a password that do not match."""
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()


def confirm_another_incident(page: Page) -> None:
    """Confirm a restore with the id of another incident."""
    page.get_by_label("Type the incident id").fill("another")
    page.get_by_role("button", name="Restore 3 alerts").click()
    page.get_by_role("alert").wait_for()


def open_every_fold(page: Page) -> None:
    """Open all that is folded."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


def change_the_password_wrongly(page: Page) -> None:
    """Give an old password that is none, and a new one that is too short."""
    page.get_by_label("Current password").fill("not the password")
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_label("New password again").fill("other")
    page.get_by_role("button", name="Change password").click()
    page.locator("[aria-invalid=true]").first.wait_for()


def make_a_token(page: Page) -> None:
    """Make a token, whose secret the page then shows."""
    page.get_by_label("Name").fill("nightly verify")
    page.get_by_role("button", name="Create token").click()
    page.locator(".secret").wait_for()


def make_the_same_token_again(page: Page) -> None:
    """Ask for a token of a name that is taken."""
    page.get_by_label("Name").fill("hand-over")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("alert").wait_for()


def confirm_the_batch(page: Page) -> None:
    """Do to the listed rows what the preview said."""
    page.locator("main form[method=post] button").click()
    page.get_by_role("heading", level=1).filter(has_text="outcome").wait_for()


def compare_an_unknown_file(page: Page) -> None:
    """Choose a file that this server does not hold."""
    brought: FilePayload = {
        "name": "from elsewhere.tar.zst", "mimeType": "application/zstd", "buffer": b"another file",
    }  # fmt: skip
    page.get_by_label("Bundle file").set_input_files(brought)
    page.locator("#verdict-here .verdict").wait_for()
