// Shares the port to memory: who is given it keeps it until its last request is taken.
//
// One request a cycle. Numbers: 0 fetch, 1 compute, 2 store, which writes, 3 load; the lower go first.
module port (
    input  logic         clk,
    input  logic         reset,
    input  logic [  3:0] wants,
    input  logic [  3:0] lasts,      // a request is the last of its transfer
    input  logic [127:0] addresses,  // 32 bits each
    input  logic [ 31:0] lengths,    // 8 bits each
    output logic         request,
    output logic [  1:0] client,
    output logic [ 31:0] address,
    output logic [  7:0] length,
    input  logic         taken,
    output logic [  3:0] takens
);
  logic held;
  logic [1:0] holder;
  assign client = held ? holder : wants[0] ? 2'd0 : wants[1] ? 2'd1 : wants[2] ? 2'd2 : 2'd3;
  assign request = wants[client];
  assign address = addresses[client*32+:32];
  assign length = lengths[client*8+:8];
  assign takens = 4'(request && taken) << client;
  always_ff @(posedge clk) begin
    holder <= client;
    held   <= !reset && (request ? !(taken && lasts[client]) : held);
  end
endmodule
