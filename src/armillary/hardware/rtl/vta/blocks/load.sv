// The load module: brings tiles of inputs and of weights into their buffers.
module load #(
    parameter int BUS          = 8,  // bytes
    parameter int INPUT_BEATS  = 2,  // of a tile, a power of two; likewise
    parameter int WEIGHT_BEATS = 32,
    parameter int SHIFT        = 4
) (
    input  logic                    clk,
    input  logic                    reset,
    input  logic                    valid,
    input  logic [           127:0] command,
    output logic                    done,
    input  logic                    token,         // from the compute module
    output logic                    starts,
    output logic                    sends,         // a token to the compute module
    output logic                    request,
    output logic                    request_last,
    output logic [            31:0] request_address,
    output logic [             7:0] request_length,
    input  logic                    request_taken,
    input  logic                    beat,
    output logic [            12:0] write_address,
    output logic                    write_zeros,
    output logic [ INPUT_BEATS-1:0] input_write,
    output logic [WEIGHT_BEATS-1:0] weight_write,
    output logic                    busy
);
  localparam int MOST = INPUT_BEATS > WEIGHT_BEATS ? INPUT_BEATS : WEIGHT_BEATS;
  localparam int PART = $clog2(MOST) > 0 ? $clog2(MOST) : 1;
  logic to_weights, start;
  logic [PART-1:0] part;
  logic [SHIFT-1:0] tile_shift;
  assign to_weights = command[7];
  assign tile_shift = to_weights ? SHIFT'($clog2(WEIGHT_BEATS)) : SHIFT'($clog2(INPUT_BEATS));
  assign start = valid && !busy && (!command[4] || token);
  assign starts = start;
  assign sends = done && command[6];
  always_ff @(posedge clk) busy <= !reset && (start || (busy && !done));
  transfer #(.BUS(BUS), .SHIFT(SHIFT), .PART(PART)) transfer (
      .clk, .reset, .start, .command, .tile_shift, .request, .request_last, .request_address, .request_length,
      .request_taken, .beat, .write_zeros, .write_address, .write_part(part), .finish(done)
  );
  for (genvar b = 0; b < INPUT_BEATS; b++) begin : g_input
    assign input_write[b] = !to_weights && (write_zeros || (beat && part == PART'(b)));
  end
  for (genvar b = 0; b < WEIGHT_BEATS; b++) begin : g_weight
    assign weight_write[b] = to_weights && (write_zeros || (beat && part == PART'(b)));
  end
endmodule
