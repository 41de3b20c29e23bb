// Commands that wait for a unit, in a memory. The one that it takes stays on the output until it takes the next.
module queue #(
    parameter int WIDTH = 64,
    parameter int DEPTH = 4
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             push,
    input  logic [WIDTH-1:0] in,
    input  logic             take,
    output logic [WIDTH-1:0] taken
);
  localparam int WORDS = DEPTH > 1 ? DEPTH : 2;
  localparam int PTR = $clog2(WORDS);
  localparam logic [PTR-1:0] LAST = PTR'(WORDS - 1);
  logic [PTR-1:0] head, tail;
  sram_1r1w #(.WORDS(WORDS), .BITS(WIDTH)) memory (
      .clk, .read(take), .read_address(head), .out(taken), .write(push), .write_address(tail), .in
  );

  always_ff @(posedge clk)
    if (reset) begin
      head <= '0;
      tail <= '0;
    end else begin
      if (push) tail <= tail == LAST ? '0 : tail + 1'b1;
      if (take) head <= head == LAST ? '0 : head + 1'b1;
    end
endmodule
