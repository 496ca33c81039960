"""Language models that are asked in text: prompts, answers, servers, spacy-llm."""
