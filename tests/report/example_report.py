"""A complete report about a hand-written program."""

from __future__ import annotations

from mcuformer.memory.model import Arena, MemoryPlan
from mcuformer.memory.placement import ANYWHERE, plan
from mcuformer.program.program import Program
from mcuformer.report.rows import layer_rows, memory_section
from mcuformer.report.schema import (
    BoardSizes,
    Checked,
    Diagnostic,
    Estimate,
    Flash,
    Model,
    ModelTensor,
    RegionUse,
    Report,
    Tool,
    TradeOff,
    unknown,
)


def example(program: Program, regions: tuple[Arena, ...] = ANYWHERE) -> tuple[Report, MemoryPlan]:
    made = plan(program, regions)
    used = made.arena_bytes + 3000
    layers = layer_rows(program, made)
    image = ModelTensor(
        name="image", shape=(1, 3, 224, 224), dtype="uint8", scale=0.01, zero_point=0
    )
    logits = ModelTensor(name="logits", shape=(1, 1000), dtype="int8", scale=0.1, zero_point=-3)
    instructions = sum(row.estimated_instructions for row in layers)
    report = Report(
        tool=Tool(name="mcuformer", version="0.1"),
        model=Model(
            path="models/deit.onnx",
            sha256="ab" * 32,
            opset=20,
            parameters=5_717_416,
            macs=sum(row.macs for row in layers),
            inputs=(image,),
            outputs=(logits,),
        ),
        board=BoardSizes(name="stm32f746g-disco", sram_bytes=327_680, flash_bytes=17_825_792),
        options={"optimize": "balanced", "weights": "qspi", "ram": None},
        memory=memory_section(
            program,
            made,
            regions=[RegionUse(name="sram", used_bytes=used, size_bytes=327_680)],
            available_bytes=327_680,
            static_bytes=952,
            stack_bytes=2048,
        ),
        flash=Flash(
            weights_bytes=5_640_000,
            code_bytes=None,
            total_bytes=None,
            regions=(RegionUse(name="qspi", used_bytes=5_640_000, size_bytes=16_777_216),),
        ),
        fits=True,
        layers=layers,
        estimate=Estimate(instructions=instructions, seconds=instructions / 216e6),
        tradeoffs=(
            TradeOff(optimize="ram", sram_total_bytes=88_000, macs=2_100_000_000),
            TradeOff(optimize="balanced", sram_total_bytes=used, macs=1_300_000_000),
            TradeOff(optimize="speed", sram_total_bytes=181_000, macs=1_250_000_000),
        ),
        checked=Checked(emulator="unicorn", samples=2, equal=True, sqnr_db=31.5),
        diagnostics=(
            unknown("flash.code_bytes", "known after linking only"),
            unknown("flash.total_bytes", "known after linking only"),
            Diagnostic(
                severity="warning",
                code="calibration",
                where=None,
                hint="give more images",
                message="calibrated on 8 images only",
            ),
        ),
    )
    return report, made
