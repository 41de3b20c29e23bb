import pytest

from armillary.benchmarks.cost_model.mapping_layers import PRIME, layers, llama_block, vit_encoder


def test_layers_are_those_of_the_field():
    every = layers()
    assert len(every) >= 14
    assert set(PRIME) < set(every)
    assert every["resnet_conv1"].input_height == 229  # 224 and a padding of three on each side, less one never read
    assert every["vit_qk"].macs == 12 * 197 * 197 * 64
    assert every["vit_av"].macs == every["vit_qk"].macs
    assert every["vocabulary"].parameters == 50257 * 768


def test_llamas_block_has_its_parameters():
    assert llama_block().parameters == 4 * 4096**2 + 3 * 4096 * 11008
    assert 32 * llama_block().parameters + 2 * 32000 * 4096 == pytest.approx(6.74e9, rel=1e-3)


def test_the_encoder_has_its_parameters_and_grows_with_its_tokens():
    width = 768
    assert vit_encoder().parameters == 12 * (4 * width**2 + 2 * width * 4 * width)
    assert vit_encoder(208).macs > vit_encoder(197).macs
    assert vit_encoder(197).macs == 12 * (12 * width**2 * 197 + 2 * 197**2 * width)
