// What units wait for: a counter for each channel, which one unit gives to and another takes from.
module tokens #(
    parameter int CHANNELS = 6,
    parameter int COUNT    = 4
) (
    input  logic                clk,
    input  logic                reset,
    input  logic [CHANNELS-1:0] give,
    input  logic [CHANNELS-1:0] take,
    output logic [CHANNELS-1:0] there
);
  for (genvar c = 0; c < CHANNELS; c++) begin : g_channel
    logic [COUNT-1:0] count;
    assign there[c] = count != '0;
    always_ff @(posedge clk)
      if (reset) count <= '0;
      else if (give[c] && !take[c]) count <= count + 1'b1;
      else if (take[c] && !give[c]) count <= count - 1'b1;
  end
endmodule
