"""The examples of the talk "Web/Asynchronous Server Gateway Interface" (Live de Python #301, October 2025).

The slides of the talk are in Portuguese. README.md says which question each file answers, and how to run it.
"""
