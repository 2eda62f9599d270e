def demo() -> None: """x"""
