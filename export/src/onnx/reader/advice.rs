//! For operators that have no program: the export option, or the change to the network, that
//! avoids them.

/// What to do about `op_type`, which carries its domain unless it is ONNX's own.
pub(super) fn advice(op_type: &str) -> &'static str {
    match op_type {
        "If" | "Loop" | "Scan" => "export without control flow (torch.onnx.export in eval mode; no Python branches)",
        "LSTM" | "GRU" | "RNN" => "a policy has no memory between decisions; use a network without recurrence",
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Multinomial" | "Bernoulli" => {
            "export the deterministic action (the mean or the logits), not a sample"
        }
        "ArgMax" | "ArgMin" | "TopK" | "Hardmax" => "export the scores of the hosts; the proxy picks the lowest",
        "Softmax" | "LogSoftmax" => {
            "over hosts it does not change their order: export the logits (their negative, where the highest should \
             win); attention cannot be compiled"
        }
        "Exp" | "Log" | "Sin" | "Cos" | "Floor" | "Ceil" | "Round" | "Sign" | "Mod" => {
            "the runtime has none; use an activation from the table in docs/training.md"
        }
        "QLinearAdd"
        | "QLinearMul"
        | "QLinearConv"
        | "com.microsoft::QLinearAdd"
        | "com.microsoft::QLinearSigmoid"
        | "com.microsoft::QGemm"
        | "QLinearMatMul" => "quantise with quant_format=QuantFormat.QDQ, or export in float32",
        "ai.onnx.ml::TreeEnsembleRegressor"
        | "ai.onnx.ml::TreeEnsembleClassifier"
        | "ai.onnx.ml::TreeEnsemble"
        | "ai.onnx.ml::SVMRegressor"
        | "ai.onnx.ml::SVMClassifier" => "trees and kernels cannot be compiled; fit a linear model or an MLP",
        "ai.onnx.ml::LinearClassifier" | "ai.onnx.ml::ZipMap" | "ai.onnx.ml::LabelEncoder" => {
            "export a regressor: the score must be a number for each host"
        }
        "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" => {
            "convolutions have no meaning over hosts, which have no order; use Linear layers and a mean over the hosts"
        }
        "Einsum" => "write it as MatMul with constant weights",
        "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2" | "ReduceLogSumExp" => {
            "summarise the hosts by their mean (ReduceMean over axis 0)"
        }
        other if other.starts_with("com.microsoft::") || other.starts_with("com.ms.") => {
            "save ONNX Runtime's optimised model with graph_optimization_level = ORT_ENABLE_BASIC, or give the file \
             from before the optimisation"
        }
        other if other.starts_with("ai.onnx.ml::") => {
            "leave that step out of the pipeline; scalers, linear models and MLPs can be compiled"
        }
        other if other.contains("::") => {
            "export with standard operators only (PyTorch: operator_export_type=ONNX; onnxscript: inline its functions)"
        }
        _ => "docs/training.md lists the operators that are; export the network with those",
    }
}
