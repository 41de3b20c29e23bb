// A first-in first-out queue whose oldest entry lies in a register, so that nothing waits for a choice between entries.
module fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 4
) (
    input  logic             clk,
    input  logic             reset,
    input  logic             push,
    input  logic [WIDTH-1:0] in,
    input  logic             pop,
    output logic [WIDTH-1:0] out,
    output logic             there,  // an entry is on the output
    output logic             full
);
  localparam int BEHIND = DEPTH > 1 ? DEPTH - 1 : 1;  // entries behind the oldest
  localparam int PTR = $clog2(BEHIND) > 0 ? $clog2(BEHIND) : 1;
  localparam logic [PTR-1:0] LAST = PTR'(BEHIND - 1);
  logic [WIDTH-1:0] entries[BEHIND];
  logic [PTR-1:0] head, tail;
  logic [PTR:0] waiting;
  logic any_waits, follows, passes, waits;

  assign full = waiting == (PTR + 1)'(BEHIND);              // decided by what is there, whether or not one leaves
  assign follows = pop && any_waits;                        // an entry behind becomes the oldest
  assign passes = push && !any_waits && (pop || !there);    // the new one does at once
  assign waits = push && !passes;

  always_ff @(posedge clk) begin
    if (follows || passes) out <= any_waits ? entries[head] : in;
    if (waits) entries[tail] <= in;
    if (reset) begin
      head <= '0;
      tail <= '0;
      waiting <= '0;
      any_waits <= 1'b0;
      there <= 1'b0;
    end else begin
      there <= push || any_waits || (there && !pop);
      if (waits) tail <= tail == LAST ? '0 : tail + 1'b1;
      if (follows) head <= head == LAST ? '0 : head + 1'b1;
      if (waits && !follows) begin
        waiting   <= waiting + 1'b1;
        any_waits <= 1'b1;
      end
      if (follows && !waits) begin
        waiting   <= waiting - 1'b1;
        any_waits <= waiting != 1;
      end
    end
  end
endmodule
