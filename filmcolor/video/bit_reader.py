"""Reads bits from the headers of coded pictures."""


class BitReader:
    """Reads bits, the most significant first. Raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._num_left = int.from_bytes(data, "big"), 8 * len(data)

    def bits(self, num: int) -> int:
        self._num_left -= num
        if self._num_left < 0:
            raise ValueError("the header is cut off")
        return self._value >> self._num_left & (1 << num) - 1

    def golomb(self) -> int:
        """Read an unsigned Exp-Golomb code: ITU-T H.264, 9.1."""
        num = 0
        while not self.bits(1):
            num += 1
        return (1 << num) - 1 + self.bits(num)
