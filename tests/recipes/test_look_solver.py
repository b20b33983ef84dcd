import torch

from recipes.looks.directions import Gradients, Solver


def test_what_is_held_stays_and_the_target_rises_by_one() -> None:
    torch.manual_seed(0)
    names = ("smile", "age") * 6
    rows = torch.randn(12, 20) * 0.1
    rows[::2, :2] += torch.tensor([1.0, 1.0])
    rows[1::2, 1] += 1
    gradients = Gradients(names, rows, torch.randn(12))
    spread = {"smile": 2.0, "age": 1.0}
    solver = Solver(gradients, spread, torch.eye(20), ridge=1e-4)
    free = solver.report(solver.solve({"smile": 1}, free=("age",)))
    held = solver.report(solver.solve({"smile": 1}))
    assert abs(free["smile"] - 1) < 1e-4 and abs(held["smile"] - 1) < 1e-4
    assert abs(held["age"]) < 0.05 < 0.5 < free["age"]
