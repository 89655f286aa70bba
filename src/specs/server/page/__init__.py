"""Stub until the page is there."""


def html() -> str:
    return "<!doctype html><title>specs</title>"


def policy(page: str) -> str:
    return "default-src 'none'"
