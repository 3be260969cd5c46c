"""Museums that are held and searched by Qdrant, beyond one machine."""
