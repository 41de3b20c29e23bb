// Commands that wait for a module. The oldest stays on the output until it is done.
module commands #(
    parameter int DEPTH = 16
) (
    input  logic         clk,
    input  logic         reset,
    input  logic         push,   // not while it is full
    input  logic [127:0] in,
    output logic         full,
    output logic         valid,
    output logic [127:0] out,
    input  logic         done    // the one on the output
);
  localparam int COUNT = $clog2(DEPTH + 1);
  logic [COUNT-1:0] waiting;
  logic take;
  assign full = waiting == COUNT'(DEPTH);
  assign take = waiting != 0 && (!valid || done);
  for (genvar w = 0; w < 2; w++) begin : g_word  // memories of 128 bits would be wide and flat
    queue #(.WIDTH(64), .DEPTH(DEPTH)) queue (
        .clk, .reset, .push, .in(in[w*64+:64]), .take, .taken(out[w*64+:64])
    );
  end
  always_ff @(posedge clk)
    if (reset) begin
      waiting <= '0;
      valid   <= 1'b0;
    end else begin
      waiting <= waiting + COUNT'(push) - COUNT'(take);
      valid   <= take || (valid && !done);
    end
endmodule
