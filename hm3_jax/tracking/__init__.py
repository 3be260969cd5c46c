"""Programs in which runs are watched: what runs tell them, and how they are told."""
