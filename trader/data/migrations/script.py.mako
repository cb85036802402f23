"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}. Never edited once released; re-create the triggers of a
table that a batch rewrite touches.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    ${upgrades if upgrades else "raise NotImplementedError"}
