"""The records that the rooms speak to each other in, the errors that a user can cause, and how a run ends."""
