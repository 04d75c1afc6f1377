-- Conversion rates and the rules about what is not charged are entities of the catalogue too: quotes are made by them.
ALTER TABLE catalog_entity DROP CONSTRAINT catalog_entity_kind_check;
ALTER TABLE catalog_entity ADD CONSTRAINT catalog_entity_kind_check
    CHECK (kind IN ('service', 'plan', 'override', 'service_schema', 'conversion_rates', 'non_billable'));
