"""Messages to people: Block Kit from typed messages, and the sender that drains the outbox into Slack."""
