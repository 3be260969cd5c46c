"""Files and weights of other frameworks; the only place here that imports torch."""
