// A first-in first-out queue; its oldest entry is on the output while `show` is set.
//
// Wide words that nobody looks at stay where they are: that saves power in hardware and time in simulation. Other
// conditions of this kind in these modules have the same reason.
module fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 4
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             push,
    input  logic [WIDTH-1:0] in,
    input  logic             pop,
    input  logic             show,
    output logic [WIDTH-1:0] out,
    output logic             empty,
    output logic             full
);
  localparam int PTR = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam logic [PTR-1:0] LAST = PTR'(DEPTH - 1);
  logic [WIDTH-1:0] entries[DEPTH];
  logic [PTR-1:0] head, tail;
  logic [PTR:0] used;

  assign out   = show ? entries[head] : '0;
  assign empty = used == 0;
  assign full  = used == (PTR + 1)'(DEPTH);

  always_ff @(posedge clk) begin
    if (push) entries[tail] <= in;
    if (reset) begin
      head <= '0;
      tail <= '0;
      used <= '0;
    end else begin
      if (push) tail <= tail == LAST ? '0 : tail + 1'b1;
      if (pop) head <= head == LAST ? '0 : head + 1'b1;
      if (push && !pop) used <= used + 1'b1;
      if (pop && !push) used <= used - 1'b1;
    end
  end
endmodule
