"""Where trainings and runs are logged besides their own files: TensorBoard, Weights & Biases, MLflow."""
