"""Policy tests: what a mail policy must do, as conversations with smtpd(8). Pure."""
