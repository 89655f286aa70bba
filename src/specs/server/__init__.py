"""The OpenAI-compatible HTTP server and its page; import `specs.server.app.create_app` and `specs.server.page.html`."""
