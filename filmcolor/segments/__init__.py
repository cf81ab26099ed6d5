"""The segments of a run: journal, files, joining. A run resumes here."""
