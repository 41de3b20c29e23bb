"""Designs to lay out that are our own: an AES-128 cipher, and arrays of multiply-accumulate elements of any size."""

from __future__ import annotations

from collections.abc import Iterator

_POLYNOMIAL = 0x11B  # FIPS 197, section 4.2
_ROUNDS = 10


def multiplied(a: int, b: int) -> int:
    """Return a product in GF(2^8) (FIPS 197, section 4.2)."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (_POLYNOMIAL if a & 0x80 else 0)
        b >>= 1
    return product


def s_box() -> list[int]:
    """Return the substitution of every byte (FIPS 197, section 5.1.1)."""
    return [_affine(_inverse(byte)) for byte in range(256)]


def _inverse(byte: int) -> int:
    return next((other for other in range(1, 256) if multiplied(byte, other) == 1), 0)


def _affine(byte: int) -> int:
    turned = 0
    for shift in range(5):
        turned ^= (byte << shift | byte >> (8 - shift)) & 0xFF
    return turned ^ 0x63


def aes() -> str:
    """Return a module `aes` that enciphers a block in a round per clock, and derives each round's key beside it.

    `ld` takes `key` and `text_in`; `done` is high for the clock in which `text_out` is new, eleven later.
    """
    return "\n".join([*_aes(), ""])


def _aes() -> Iterator[str]:
    yield "module s_box(input [7:0] in, output reg [7:0] out);"
    yield "  always @* case (in)"
    yield from (f"    8'h{byte:02x}: out = 8'h{value:02x};" for byte, value in enumerate(s_box()))
    yield "  endcase"
    yield "endmodule"
    yield "module aes(input clk, input rst, input ld, output reg done, input [127:0] key, input [127:0] text_in,"
    yield "           output reg [127:0] text_out);"
    yield "  reg [127:0] state, round_key, held; reg [3:0] left; reg [7:0] constant; reg loading;"
    yield "  function [7:0] twice(input [7:0] x); twice = {x[6:0], 1'b0} ^ (x[7] ? 8'h1b : 8'h00); endfunction"
    yield "  wire [127:0] replaced, mixed, next_key; wire [31:0] turned;"
    for byte in range(16):
        # ShiftRows (section 5.1.2): row r of column c comes from column c + r
        row, column = byte % 4, byte // 4
        source = 4 * ((column + row) % 4) + row
        yield f"  s_box b{byte}(.in(state[{_bits(source)}]), .out(replaced[{_bits(byte)}]));"
    for column in range(4):
        given = [f"replaced[{_bits(4 * column + row)}]" for row in range(4)]
        for row in range(4):  # MixColumns, section 5.1.3
            a, b, c, d = (given[(row + k) % 4] for k in range(4))
            yield f"  assign mixed[{_bits(4 * column + row)}] = twice({a}) ^ twice({b}) ^ {b} ^ {c} ^ {d};"
    for row in range(4):  # the key's expansion, section 5.2
        last = _bits(12 + (row + 1) % 4)
        yield f"  s_box k{row}(.in(round_key[{last}]), .out(turned[{31 - 8 * row}:{24 - 8 * row}]));"
    yield "  assign next_key[127:96] = round_key[127:96] ^ turned ^ {constant, 24'h0};"
    for word in range(1, 4):
        high = 127 - 32 * word
        mine, before = f"{high}:{high - 31}", f"{high + 32}:{high + 1}"
        yield f"  assign next_key[{mine}] = round_key[{mine}] ^ next_key[{before}];"
    yield "  always @(posedge clk) begin"
    yield "    if (ld) held <= text_in;"
    yield "    loading <= ld; done <= !rst && !ld && left == 4'd1;"
    yield f"    left <= rst ? 4'd0 : ld ? 4'd{_ROUNDS + 1} : |left ? left - 4'd1 : left;"
    yield "    round_key <= ld ? key : next_key; constant <= ld ? 8'h01 : twice(constant);"
    yield "    state <= loading ? held ^ round_key : mixed ^ round_key;"
    yield "    text_out <= replaced ^ round_key;"
    yield "  end"
    yield "endmodule"


def _bits(byte: int) -> str:
    return f"{127 - 8 * byte}:{120 - 8 * byte}"


def array(rows: int, columns: int) -> str:
    """Return a module `array` of elements that multiply bytes and add up, each with registers of its own.

    Bytes `left` enter on the left and move right, sums enter at the top and move down.
    """
    return f"""
module element(input clk, input load, input signed [7:0] left, input signed [7:0] weight, input signed [19:0] above,
               output reg signed [7:0] right, output reg signed [7:0] kept, output reg signed [19:0] below);
  always @(posedge clk) begin
    right <= left;
    if (load) kept <= weight;
    below <= above + left * kept;
  end
endmodule
module array(input clk, input load, input [{8 * rows - 1}:0] left, input [{8 * columns - 1}:0] weights,
             output [{20 * columns - 1}:0] sums);
  genvar r, c;
  wire [7:0] across [0:{rows - 1}][0:{columns}];
  wire [7:0] down [0:{rows}][0:{columns - 1}];
  wire [19:0] partial [0:{rows}][0:{columns - 1}];
  generate
    for (r = 0; r < {rows}; r = r + 1) begin : row
      assign across[r][0] = left[8*r +: 8];
      for (c = 0; c < {columns}; c = c + 1) begin : column
        element each(.clk(clk), .load(load), .left(across[r][c]), .weight(down[r][c]), .above(partial[r][c]),
                     .right(across[r][c+1]), .kept(down[r+1][c]), .below(partial[r+1][c]));
      end
    end
    for (c = 0; c < {columns}; c = c + 1) begin : edge_of
      assign down[0][c] = weights[8*c +: 8];
      assign partial[0][c] = 20'd0;
      assign sums[20*c +: 20] = partial[{rows}][c];
    end
  endgenerate
endmodule
"""
