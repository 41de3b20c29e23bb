// Commands that wait for a unit. The one that it takes stays on the output until it takes the next.
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
  localparam int PTR = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam logic [PTR-1:0] LAST = PTR'(DEPTH - 1);
  logic [WIDTH-1:0] entries[DEPTH];
  logic [PTR-1:0] head, tail;

  always_ff @(posedge clk) begin
    if (push) entries[tail] <= in;
    if (take) taken <= entries[head];
    if (reset) begin
      head <= '0;
      tail <= '0;
    end else begin
      if (push) tail <= tail == LAST ? '0 : tail + 1'b1;
      if (take) head <= head == LAST ? '0 : head + 1'b1;
    end
  end
endmodule
